"""The sentences that decide the cases, each with the section it stands in.

Where a sentence leaves a choice, what this gateway does follows it after `Chosen:`.
"""

from tests.doors.rfc.framing import *  # noqa: F403
from tests.doors.rfc.meaning import *  # noqa: F403
