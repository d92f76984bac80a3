"""The contract: cases that check any vendordata server against what Nova and cloud-init need."""

from vendorsrv.contract.case import Case
from vendorsrv.contract.session import Subject
from vendorsrv.contract.suite import CASES, Report, Verdict, check

__all__ = ["CASES", "Case", "Report", "Subject", "Verdict", "check"]
