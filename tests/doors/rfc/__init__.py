"""The sentences that decide the cases, each with the section it stands in.

They are quoted, long ones shortened. Where a sentence leaves a choice, what this gateway does follows after `Chosen:`.
"""

from tests.doors.rfc.framing import *  # noqa: F403
from tests.doors.rfc.meaning import *  # noqa: F403
