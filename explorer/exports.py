"""The parts of the Export page: a job that writes and checks the files, their downloads, the plan as a table."""

from pathlib import Path
from typing import Any

import streamlit as st

import pruning_core as pc
from explorer import export_work, jobs, state
from explorer.figures import escaping, words
from explorer.present import exports as present
from pruning_core.exporters import EXPORTERS
from pruning_core.exporters.snippet import snippet

MIME = {".json": "application/json", ".html": "text/html", ".py": "text/x-python"}


def files() -> None:
    """Draw the button that makes the files, its progress, and the downloads."""
    app = state.current()
    job = export_work.export_job(app.model, app.data, app.plan)
    if job is None:
        st.caption(
            "Writes the files, measures the pruned model once on test data, and checks the ONNX file against torch."
        )
        st.button("Make the files", type="primary", key="make_files", on_click=_make)
    elif job.live:
        st.fragment(_waiting, run_every=0.5)(job.id)
        st.button("Cancel", key="cancel_export", on_click=job.cancel)
    elif job.state == "done":
        _downloads(job.result)
    else:
        st.warning(escaping.markdown(job.error) or "Stopped. Nothing was written.")
        st.button("Make the files", type="primary", key="make_files", on_click=_make)


def _make() -> None:
    app = state.current()
    export_work.start_export(app.model or "", app.data, app.plan)


def _waiting(job_id: str) -> None:
    job = jobs.find(job_id)
    if job is None or not job.live:
        st.rerun()
    share = job.progress if job and job.progress else 0.0
    st.progress(share, text="Waiting for its turn" if job and job.state == "waiting" else "Measuring and writing")


def _downloads(result: export_work.Exported) -> None:
    st.markdown(_certificate(result))
    for path in result.files:
        button, caption = st.columns([190, 440], vertical_alignment="center", gap="small")
        figure, unit = words.size(path.stat().st_size)
        with button:
            st.download_button(
                path.name,
                path.read_bytes(),
                path.name,
                MIME.get(path.suffix, "application/octet-stream"),
                key=f"download:{path.name}",
                width="stretch",
                on_click="ignore",
            )
        with caption:
            st.caption(f"{figure} {unit} · {_what(path)}")


def _what(path: Path) -> str:
    doc = next((member.doc for member in EXPORTERS.values() if member.file_name == path.name), "")
    return doc.removeprefix("Write ").rstrip(".")


def _certificate(result: export_work.Exported) -> str:
    """Say in two sentences what was measured and how equal the files are."""
    report: dict[str, Any] = result.report
    parts = []
    masked, dense = report.get("slimmed") or report.get("masked"), report.get("dense")
    if masked and masked.get("accuracy") is not None:
        low, high = masked["accuracy_interval"]
        parts.append(
            f"On {words.count(masked['n'])} test examples: accuracy **{words.percent(masked['accuracy'], 2)}** "
            f"({words.percent(low, 2)} to {words.percent(high, 2)}), dense {words.percent(dense['accuracy'], 2)}."
        )
    proof = report.get("certificate") or {}
    if proof.get("masked_vs_slimmed_max_abs_diff") is not None:
        fewer = words.count(dense["params"] - report["slimmed"]["params"])
        parts.append(
            f"Without the removed channels the model has {fewer} parameters less and answers as the masked one does: "
            f"at most {proof['masked_vs_slimmed_max_abs_diff']:.2g} apart in any output."
        )
    difference = proof.get("slimmed_vs_onnx_max_abs_diff") or proof.get("masked_vs_onnx_max_abs_diff")
    if difference is not None:
        samples = proof["samples"]
        parts.append(
            f"ONNX Runtime and torch differ by at most {difference:.2g} in any output over {samples} examples."
        )
    return "  \n".join(parts)


def plan_table(bench: pc.Workbench) -> None:
    """Draw the plan layer by layer."""
    rows = present.plan_rows(bench, state.current())
    st.dataframe(rows, hide_index=True, width="stretch", key="plan_table")


def python(bench: pc.Workbench) -> None:
    """Draw the Python that repeats this."""
    if bench.dataset:
        st.markdown("**The same from Python**")
        st.code(snippet(bench.model.name, bench.dataset.test, bench.dataset.calibration), language="python")
    name = bench.model.name
    st.markdown("**The same from the command line**")
    st.code(f"pruning-explorer prune {name} --plan plan.json --out pruned", language="bash")
