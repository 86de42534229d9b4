"""How every server in this folder says what it has read: `METHOD TARGET HOST LENGTH FNV-1a` in `x-read`."""


def say(method, target, host, body):
    digest = 0x811C9DC5
    for byte in body:
        digest = (digest ^ byte) * 0x01000193 & 0xFFFFFFFF
    return f"{method} {target} {host} {len(body)} {digest:08x}"
