"""Figures: plain data in, plotly figures out; they know neither torch nor Streamlit."""
