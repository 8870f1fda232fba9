"""The reports: pages of HTML that stand on their own, for screen, phone and paper."""

from carkinetics.report.batch_page import batch_report
from carkinetics.report.trial_page import trial_report
from carkinetics.report.write import write_report

__all__ = ["batch_report", "trial_report", "write_report"]
