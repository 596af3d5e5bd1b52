"""Published routes: what agents publish over their own links (tunnel/PROTOCOL.md, section "Publishing").

An agent's `publish` message is an `offer.py`: it checks each wanted route against the token (`claims.py`), and gives
names (`names.py`). `publication.py` is one route and who holds it. `routes.py` keeps all of them: who holds which host,
and until when; it tells the operator by `reports.py`, and remembers what was `unpublished.py`. `settling.py` is what
several nodes add.
"""

from .publication import Holder, Publication
from .routes import LINGER_SECONDS, Publications
from .settling import Settling

__all__ = ["LINGER_SECONDS", "Holder", "Publication", "Publications", "Settling"]
