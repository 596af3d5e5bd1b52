"""Routes that agents register: what a token allows, the routes in force, and the file that keeps them over a restart.

`bodies.py` reads what an agent sends, `claims.py` checks it against the token, `routes.py` keeps the routes and which
cluster holds which host, `store.py` writes them to SQLite. Only `store.py` touches the disk, on a thread of its own.
"""

from .claims import Claim, ClaimError, Fault
from .routes import LearnedRoutes
from .store import Learned, Store, StoreError

__all__ = ["Claim", "ClaimError", "Fault", "Learned", "LearnedRoutes", "Store", "StoreError"]
