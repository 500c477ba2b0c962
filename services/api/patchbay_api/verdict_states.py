"""The states that a verdict on a package may have."""

STATES = [
    "outstanding",
    "held",
    "kept-back",
    "phased",
    "pinned",
    "excluded",
    "locked",
    "obsoleted",
    "vendor",
    "retracted",
    "module",
    "not-in-any-repository",
    "newer-than-repository",
    "unordered",
]
"""The engine's states (`patchbay_update_engine.evaluate.verdict.State`); services do not import each other."""
