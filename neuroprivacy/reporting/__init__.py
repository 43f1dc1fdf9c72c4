"""The report of a run: one `report.json`, and one static page made of it that needs nothing else."""

from neuroprivacy.reporting.files import load_report, report, write_report
from neuroprivacy.reporting.map_page import write_map
from neuroprivacy.reporting.render import render_report
from neuroprivacy.reporting.schema import Report, check_report
from neuroprivacy.reporting.trace_page import write_trace

__all__ = [
    "Report",
    "check_report",
    "load_report",
    "render_report",
    "report",
    "write_map",
    "write_report",
    "write_trace",
]
