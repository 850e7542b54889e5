"""Why each episode ended: terminated, truncated, or the log does not say."""

import numpy as np
from numpy.typing import NDArray

from suture.data.episodes import Episodes
from suture.data.findings import DONE, Finding, at, option, share_of
from suture.data.log import Log, Reading
from suture.spaces import Array

SEVERAL = 3
Mask = NDArray[np.bool_]


def settle_endings(
    log: Log, episodes: Episodes, borrowed: Mask, reading: Reading, found: list[Finding]
) -> tuple[Mask, Mask]:
    """Whether each episode terminated and whether it was truncated, (E,) each, never both.

    borrowed: ends whose next observation belongs to the next episode (evidence of a time limit).
    """
    rows = len(log.action)
    terminal, timeout, done = (
        episodes.at_end(name, getattr(log, name), rows) for name in ("terminal", "timeout", "done")
    )
    if log.terminal is not None:
        terminal, timeout = _explicit(terminal, timeout, episodes, log, reading, found)
        unknown = ~(terminal | timeout)
    elif log.timeout is not None:
        terminal = done & ~timeout
        _note_both(done & timeout, episodes, found)
        unknown = ~(done | timeout)
    else:
        terminal, timeout = _read_done(done, episodes, borrowed, reading, found)
        unknown = ~done
    terminal, timeout = _settle_unknown(terminal, timeout, unknown, episodes, log, reading, found)
    if terminal.all() and bool((episodes.lengths == 1).all()):
        message = (
            f"All {len(episodes):,} episodes are one decision that ends its episode: a bandit log. {DONE}"
        )
        found.append(Finding(id="one-step-episodes", severity="info", count=len(episodes), message=message))
    return terminal, timeout


def _explicit(
    terminal: Mask, timeout: Mask, episodes: Episodes, log: Log, reading: Reading, found: list[Finding]
) -> tuple[Mask, Mask]:
    """`terminal` wins over `timeout` (D7); all terminals at one length look like a time limit (D5)."""
    both, lengths = terminal & timeout, episodes.lengths[terminal]
    if both.any():
        message = (
            f"{share_of(both)} episode ends carry both flags, terminal and time limit. "
            "Terminal wins: nothing is bootstrapped there. Where the time limit cut them, correct the flags."
        )
        found.append(at("both-flags", "info", episodes.last[both], message))
    uniform = len(lengths) >= SEVERAL and lengths[0] > 1 and bool((lengths == lengths[0]).all())
    if not uniform or timeout.any() or reading.ends == "termination":
        return terminal, timeout & ~terminal
    ends = episodes.last[terminal]
    if reading.ends == "time-limit":
        message = f"{len(ends):,} terminals at step {lengths[0]:,} are read as time limits, as asked. {DONE}"
        found.append(at("ends-as-asked", "info", ends, message))
        return np.zeros_like(terminal), terminal
    message = (
        f"All {len(ends):,} terminals lie at the same length, {lengths[0]:,} steps, as those of a time "
        "limit do. "
        f"They are kept as terminations; pass {option('ends', 'time-limit')} where the task goes on beyond "
        "them, otherwise values there are learned as 0."
    )
    found.append(at("terminals-at-one-length", "warning", ends, message))
    return terminal, timeout


def _note_both(both: Mask, episodes: Episodes, found: list[Finding]) -> None:
    if both.any():
        message = (
            f"`done` is also set at {share_of(both)} episode ends that are time limits. "
            "Terminated is read as done and not time limit, so these are bootstrapped from. Correct the "
            "flags where one of them is a true end."
        )
        found.append(at("done-at-time-limits", "info", episodes.last[both], message))


def _read_done(
    done: Mask, episodes: Episodes, borrowed: Mask, reading: Reading, found: list[Finding]
) -> tuple[Mask, Mask]:
    """What a lone `done` means, by the evidence: one length, or next observations of the next episode."""
    nothing = np.zeros_like(done)
    if not done.any():
        return nothing, nothing
    lengths, ends = episodes.lengths[done], episodes.last[done]
    if reading.ends is not None:
        limit, why = reading.ends == "time-limit", "as asked"
    elif len(lengths) >= SEVERAL and lengths[0] > 1 and bool((lengths == lengths[0]).all()):
        limit, why = True, f"for all lie at the same length, {lengths[0]:,} steps"
    elif borrowed[done].mean() > 0.5:
        limit, why = True, "for the next observations there belong to the next episode"
    else:
        limit, why = False, f"for episodes differ in length ({lengths.min():,} to {lengths.max():,} steps)"
        longest = int((lengths == lengths.max()).sum())
        if len(lengths) == 1 or lengths.max() == lengths.min():
            why = "for nothing speaks for a time limit"
        elif longest >= SEVERAL:
            why += f"; but {longest:,} of them share the longest one, which may be a time limit"
    reading_, other = ("time limit", "termination") if limit else ("termination", "time-limit")
    message = f"`done` does not say why episodes ended. Its {len(ends):,} ends are read as {reading_}, {why}."
    severity = "info" if reading.ends else "warning"
    advice = f" {DONE}" if reading.ends else f" Pass {option('ends', other)} if that is wrong."
    found.append(at("ambiguous-done", severity, ends, message + advice))
    return (nothing, done) if limit else (done, nothing)


def _settle_unknown(
    terminal: Mask, timeout: Mask, unknown: Mask, episodes: Episodes, log: Log, reading: Reading,
    found: list[Finding],
) -> tuple[Mask, Mask]:  # fmt: skip
    """Ends without a reason given: as the reading says; bandits terminate, others are unfinished."""
    if not unknown.any():
        return terminal, timeout
    if reading.ends == "termination":
        return terminal | unknown, timeout
    if reading.ends == "time-limit":
        return terminal, timeout | unknown
    if reading.episode_length is not None:
        cut = unknown & (episodes.lengths == reading.episode_length)
        timeout, unknown = timeout | cut, unknown & ~cut
    elif _is_bandit(episodes, log):
        return terminal | unknown, timeout
    if unknown.any():
        message = (
            f"{share_of(unknown)} episodes end without a reason given. They are unfinished: "
            f"nothing is assumed about what follows. Pass {option('ends', 'termination')}, or time-limit, if "
            "you know."
        )
        found.append(at("unfinished-episodes", "info", episodes.last[unknown], message))
    return terminal, timeout


def _is_bandit(episodes: Episodes, log: Log) -> bool:
    alone: Array = episodes.lengths == 1
    return bool(alone.all()) and log.next_observation is None and not (episodes.final >= 0).any()
