"""What runs outside the page, in a worker process: each task is a function, its arguments and its result plain data.

Nothing here knows Streamlit: a worker that does not load it starts sooner and needs less memory.
"""
