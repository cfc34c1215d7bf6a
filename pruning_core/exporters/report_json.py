"""The report as JSON."""

from pathlib import Path

from pruning_core.exporters.seam import Bundle, exporter, known


@exporter("report_json", label="Report (JSON)", file_name="report.json", needs={"report"})
def write_report(bundle: Bundle, path: Path) -> None:
    """Write every measured number with its interval, and how it was measured."""
    path.write_text(known(bundle.report).to_json() + "\n", "utf-8")
