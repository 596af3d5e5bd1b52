"""Routes that agents register: what a token allows, the routes in force, and the file that keeps them over a restart.

`bodies.py` reads what an agent sends, `claims.py` checks it against the token, `routes.py` keeps the routes and which
cluster holds which host, `store.py` writes them to SQLite, on a thread of its own, and `state_file.py` is the file.
"""

from .claims import Claim, ClaimError, Fault
from .refusals import Refusal, Refusals
from .registering import NotSharedError, Registering
from .routes import LearnedRoutes
from .state_file import Learned
from .store import Store, StoreError

__all__ = [
    "Claim",
    "ClaimError",
    "Fault",
    "Learned",
    "LearnedRoutes",
    "NotSharedError",
    "Refusal",
    "Refusals",
    "Registering",
    "Store",
    "StoreError",
]
