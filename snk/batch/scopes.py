"""What clients may be allowed, by the platform and by a consumer."""

MESSAGES = "messages:write"
READ = "runs:read"
OPERATE = "runs:operate"
REPORT = "runs:report"
REPORT_TASK = f"{REPORT}:TASK"
"""The same for one task: its name in the place of ``TASK``."""
WORK = "runs:work"
STATUS = "status:read"
OF_PLATFORM = (MESSAGES, READ, OPERATE, REPORT, REPORT_TASK, STATUS)
OF_CONSUMER = (WORK, STATUS)
