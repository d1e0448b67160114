"""What the stores ask of themselves, as a client's request comes to them (PEP 3333)."""

from __future__ import annotations

from typing import Any


def own_request(
    service: str,
    region: str,
    method: str = "POST",
    path: str = "/",
    body: bytes = b"",
    **more: str,
) -> dict[str, Any]:
    """The environment but for what the server adds to it.  ``more``: further keys of it, such as
    ``HTTP_X_AMZ_TARGET``."""
    scope = f"AWS4-HMAC-SHA256 Credential=kirikae/20260101/{region}/{service}/aws4_request"
    return {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "127.0.0.1",
        "HTTP_AUTHORIZATION": f"{scope}, SignedHeaders=host, Signature=0",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.url_scheme": "http",
        **more,
    }
