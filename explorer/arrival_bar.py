"""The bar below the navigation while a file is read: progress, a refusal, or what is still to be said about it."""

from functools import cache

import streamlit as st

from explorer import arrivals, jobs, state
from explorer.arrivals import Found
from explorer.components import declare
from explorer.figures import escaping, words
from explorer.settings import SETTINGS
from explorer.uploads import megabytes, own_uploads
from pruning_core.guard import KINDS
from pruning_core.loaders import MODEL_LOADERS
from pruning_core.loaders.options import split
from pruning_core.loaders.uploads import parts

POLL_SECONDS = 0.4
ACCEPT = {
    holds: ",".join(suffix for kind in KINDS.values() if kind.holds == holds for suffix in kind.suffixes)
    for holds in ("model", "data")
}
QUESTIONS = {  # option -> what is asked for, an example
    "accept": ("Names to accept", "fc.weight,fc.bias"),
    "input": ("Shape of one input", "3x224x224"),
    "y": ("Column of the classes", "species"),
}
HINTS = {
    "model": "or drop it here: .onnx, .safetensors, a state dict as .pt",
    "data": "or drop it here: .npz, .npy, a .zip of images, .csv, .txt",
}


def uploader(key: str, holds: str) -> None:
    """Draw the place to drop a file on; what it holds is told by its content, whatever was expected."""
    limits = SETTINGS.limits
    most = megabytes(limits.upload_bytes)
    data = {
        "key": key,
        "label": f"Open a {holds} file" if holds == "model" else "Open a data file",
        "hint": f"{HINTS[holds]}; at most {most}",
        "accept": ACCEPT[holds],
        "most_bytes": limits.upload_bytes,
        "too_large": f"The file is larger than {most}, the limit upload_bytes; split it or ask the host for more.",
    }
    declare("uploader")(key=key, data=data, on_uploaded_change=lambda: _came(key))


def _came(key: str) -> None:
    sent = state.sent(key, "uploaded")
    upload = own_uploads().find(str(sent["token"]), state.visitor()) if sent else None
    if upload:
        read(upload.token, {})


def read(token: str, options: dict[str, str]) -> None:
    """Begin to read one of the visitor's uploads."""
    upload = own_uploads().find(token, state.visitor())
    if upload:
        state.view(arrival=arrivals.start(upload, options).id)


def bar() -> None:
    """Draw the bar while there is something to say; its place stays, so that nothing below is mounted anew."""
    job = jobs.find(state.current().view.get("arrival"))
    with st.container(key="arrival_place", gap=None):
        if job is not None and job.state != "stopped":
            _bar(job)


def _bar(job: jobs.Job) -> None:
    with st.container(key="arrival", horizontal=True, vertical_alignment="center", gap="small"):
        if job.live:
            st.fragment(_progress, run_every=POLL_SECONDS)(job.id)
            st.button("Cancel", key="cancel_arrival", on_click=_cancel, args=(job,))
        elif job.state == "failed":
            _say("Not opened.", job.error)
            _put_aside()
        else:
            _outcome(job.result)


def _progress(job_id: str) -> None:
    job = jobs.find(job_id)
    if job is None or not job.live:
        if job and job.result and not job.result.code:
            _open(job.result)
        state.refresh()
        return
    step = job.progress or arrivals.Step("Waiting for its turn", 0.0)
    st.progress(step.share, text=f"{escaping.markdown(job.title)}: {step.text}")


def _open(found: Found) -> None:
    if found.holds == "data" and state.current().model is None:
        return  # it waits for a model
    arrivals.open_found(found)
    state.view(arrival=None)


def _cancel(job: jobs.Job) -> None:
    job.cancel()
    state.view(arrival=None)


def _put_aside() -> None:
    st.button("Put aside", key="dismiss_arrival", on_click=lambda: state.view(arrival=None))


def _say(what: str, sentence: str) -> None:
    st.markdown(
        f":orange[**{what}**] {escaping.markdown(words.typeset(sentence))}{'' if sentence[-1:] in '.?!' else '.'}"
    )


def _outcome(found: Found) -> None:
    name = parts(found.spec)[1]
    if not found.code:
        st.markdown(f"{escaping.code(name)} is here. Open a model, then choose it under *Data*.")
    else:
        _say(found.code, found.sentence)
        if found.option:
            _ask(found)
    _put_aside()


def _ask(found: Found) -> None:
    """Ask for what the file alone does not tell."""
    key = f"arrival_{found.option}"
    if found.option == "as":
        st.selectbox(
            "Architecture", _architectures(), index=None, key=key, accept_new_options=True, width=320,
            label_visibility="collapsed", placeholder="Architecture, such as torchvision:resnet18",
        )  # fmt: skip
    else:
        label, example = QUESTIONS[found.option]
        st.text_input(
            label, key=key, placeholder=f"{label}, such as {example}", label_visibility="collapsed", width=320
        )
    st.button("Open", key="answer_arrival", type="primary", on_click=_answer, args=(found, key))


def _answer(found: Found, key: str) -> None:
    value = (state.widget(key) or "").strip()
    name, options = split(found.spec)
    if value:
        read(parts(name)[0], options | {found.option: value})


@cache
def _architectures() -> list[str]:
    """Return what a file of weights may belong to, by name."""
    from pruning_core.loaders import torchvision_zoo  # imports torchvision, which takes long

    samples = [name for name, _ in MODEL_LOADERS["sample"].names()]
    return [*samples, *(f"{torchvision_zoo.PREFIX}{name}" for name in torchvision_zoo.names())]
