"""The report: one page of HTML that stands on its own, for screen, phone and paper."""

from carkinetics.report.write import write_report

__all__ = ["write_report"]
