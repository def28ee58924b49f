"""One TLS context for all connections of the process.

Reading the certificates costs 20 to 40 ms of CPU, which every HTTP client would otherwise spend
again, inside the first call that it makes. The context depends on SSL_CERT_FILE and SSL_CERT_DIR
as they are when it is first made.
"""

import ssl
from functools import lru_cache

import httpx2


@lru_cache(maxsize=1)
def tls_context() -> ssl.SSLContext:
    """Return the context that verifies vendors' certificates; it may be shared freely."""
    return httpx2.create_ssl_context()
