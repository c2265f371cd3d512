"""HTTP: posts without a socket, the page, health, and the documents that describe the server."""
