"""Routes that agents register: what they may claim, the set in force, and the file that keeps it over a restart.

`bodies.py` reads what an agent sends, `claims.py` decides what its token allows, `routes.py` holds the set and who
owns which host, `store.py` is SQLite. Only `store.py` touches a disk, and only from a thread of its own.
"""

from .claims import Claim, ClaimError, Fault
from .routes import LearnedRoutes
from .store import Learned, Store, StoreError

__all__ = ["Claim", "ClaimError", "Fault", "Learned", "LearnedRoutes", "Store", "StoreError"]
