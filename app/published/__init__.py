"""Published routes: what agents publish over their own links (tunnel/PROTOCOL.md, section "Publishing").

`claims.py` checks what an agent wants against its token, `names.py` gives names, `publication.py` is one route and who
holds it, and `routes.py` keeps all of them: who holds which host, and until when.
"""

from .publication import Holder, Publication
from .routes import LINGER_SECONDS, Published

__all__ = ["LINGER_SECONDS", "Holder", "Publication", "Published"]
