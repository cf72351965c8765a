"""The names of a kit's folders and files."""

SERVER, AUTHORITY = "server", "authority"

SETTINGS = "settings.json"
README = "README.md"
AUTHORITY_CERTIFICATE = "ca.crt"
AUTHORITY_KEY = "ca.key"
SERVER_CERTIFICATE = "server.crt"
SERVER_KEY = "server.key"
SERVER_CONTEXT = "server.ctx"
NODE_KEY = "node.key"
ENCRYPTION_KEY = "encryption.key"
REGISTER = "register.json"

NODE_KEYS = "node-keys"
"""Folder of the server: the public key of every site, as NAME.pub."""

REVOKED = "revoked"
"""Folder of the server: the public keys of revoked sites, whose nodes must not join again."""

FORMER_KEYS = "former-keys"
"""Folder of the authority: the encryption keys that were replaced, as KEY-ID.key."""
