"""The visitor's own uploads, below the place to drop a file on: open one again, or delete it."""

from typing import Any

import streamlit as st

from explorer import actions, arrival_bar, state
from explorer.figures import escaping
from explorer.uploads import Upload, megabytes, own_uploads
from pruning_core.guard import KINDS


def own_files(holds: str, place: str) -> None:
    """Draw a row for each upload that holds a model, or data."""
    endings = tuple(suffix for kind in KINDS.values() if kind.holds == holds for suffix in kind.suffixes)
    mine = [upload for upload in own_uploads().of(state.visitor()) if upload.name.lower().endswith(endings)]
    if not mine:
        return
    st.caption(f"Your uploads, kept for {own_uploads().limits.upload_hours} hours. Nobody else can open them.")
    with st.container(key=f"own_{place}", gap="xsmall"):
        for upload in mine:
            _row(upload, holds, place)


def _row(upload: Upload, holds: str, place: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        name = escaping.markdown(upload.name, 40)
        st.button(name, key=f"open:{place}:{upload.token}", type="tertiary", on_click=_open, args=(upload, holds))
        st.markdown(f":small[:gray[{megabytes(upload.n_bytes)}]]", width="stretch")
        delete: dict[str, Any] = {"key": f"delete:{place}:{upload.token}", "help": f"Delete {name}", "type": "tertiary"}
        st.button("Delete", on_click=_delete, args=(upload,), **delete)


def _open(upload: Upload, holds: str) -> None:
    """Open it as it was opened last; one that was never found fit, or may not fit this model, is read first."""
    passed = own_uploads().passed(upload.token)
    if holds == "model" and passed:
        actions.open_sample(passed[-1])
    else:
        arrival_bar.read(upload.token, {})


def _delete(upload: Upload) -> None:
    own_uploads().forget(upload.token)
