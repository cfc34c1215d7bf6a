"""The pruning explorer: the Streamlit app and the command `pruning-explorer`."""
