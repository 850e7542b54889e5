"""What the name of a column says that it is. Names are evidence for a proposal, never a decision."""

import re
from typing import Literal, TypeAlias

Meaning: TypeAlias = Literal[
    "action_probabilities", "propensity", "episode", "order", "reward", "terminated", "truncated", "done",
    "action", "next", "row",
]  # fmt: skip
ID = r"(_?(id|ids|index|number|no|nr|num))"
UNIT = r"(_?([munµ]?s|secs?|seconds?|millis|min|minutes?|h|hours?|days?))"
WHOLE: dict[Meaning, str] = {
    "row": r"|unnamed.*|index|row(_?(id|number|no))?",
    "action_probabilities": r"(all_)?action_(probabilities|probability|probs?)(_\d+)?",
    "propensity": r"propensit(y|ies)(_score)?|pscore|"
    r"(behaviou?r|logging|action)_(prob|probability|propensity)",
    "next": r"next_.*|.*_next",
    "episode": r"(episode|trajectory|traj|rollout|trial|run|trip|session|patient|subject|stay|encounter|"
    rf"batch|lot|campaign|case|visit|admission|mission|flight|game|match|conversation|dialogue){ID}?|"
    rf"(order|job|cycle|shift|charge|heat|tour|route|wave|icu_?stay|hadm){ID}|ep",
    "order": r"(time_?)?steps?(_?(id|index|number|no))?|transition(_(number|id|index))?|date(_?time)?|"
    rf"((sim(ulation)?|run|wall|elapsed)_?)?(t|time|time_?stamp|elapsed|clock)(_elapsed)?{UNIT}?|"
    r"(milli|micro|nano)?sec(ond)?s?|day|hour|week|month|minute|frame(_(id|index|number))?|tick|seq(uence)?(_(no|number))?",
    "reward": r"rewards?|rew|r|outcome|click(s|ed)?|score|rating|return|payoff|"
    r"revenue|profit|conversion|utility",
    "truncated": r"(is_)?(truncated|truncations?|timeouts?|timed_out|time_limit|censored)",
    "terminated": r"(is_)?(terminated|terminals?|terminations?|fail(ed|ure)?|death|died|dead|deceased|"
    r"mortality|expired|crash(ed)?|collision|tripped|shutdown|fell|fallen|success|solved|goal_reached)",
    "done": r"(is_)?(dones?|episode_ends?|episode_done|last|finished|final|end|ended|completed?)",
    "action": r"(actions?|act|a|u|input|torque)([_\[(.]*\d*[\])]*)([_.][a-z]+)?|"
    r"treatments?|intervention|decision|(item|article|product|movie|ad|arm|offer|banner)(_?id)?|"
    r"(recommended|shown|displayed|chosen)_.*|steer(ing)?|throttle|brake",
}  # fmt: skip
FLAG = (
    r"(is_)?(terminated|terminals?|terminations?|truncated|truncations?|timeouts?|time_limit|dones?|"
    r"episode_ends?|episode_done)"
)
PLAIN_ACTION = r"act.*|a\b.*|a_?\d.*"
OBSERVATION = (
    r"(obs|observations?|states?|s|x|features?|context|state_feature)([_\[(.]*\d+[\])]*)([_.].*)?"
    r"|(obs|state)[_.].*"
)
TIME = {
    "time",
    "timestamp",
    "datetime",
    "date",
    "step",
    "elapsed",
    "hour",
    "hours",
    "minute",
    "minutes",
    "day",
}
GAINS = {"reward", "rewards", "profit", "revenue", "payoff", "utility", "click", "clicks", "conversion"}
DECISIONS = {
    "setpoint", "setpoints", "setpt", "sp", "command", "cmd", "control", "dose", "dosage", "action",
    "throttle", "steering", "torque", "torques", "voltage", "pwm", "duty", "thrust", "brake",
}  # fmt: skip
MEASURED = {"measured", "sensor", "sensed", "actual", "feedback", "estimated", "battery", "supply", "bus"}
CHOSEN = DECISIONS | {"move", "choice", "decision", "act", "option", "treatment", "maneuver", "manoeuvre"}
"""Words for what was decided in a column of texts."""
ACTUATORS = {
    "actuator", "blower", "burner", "chiller", "command", "cmd", "compressor", "cooler", "damper", "fan",
    "gate", "heater", "infusion", "motor", "mode", "pump", "relay", "shutter", "switch", "valve", "voltage",
}  # fmt: skip
FAILURES = {
    "terminated", "failed", "failure", "death", "died", "dead", "deceased", "crash", "crashed", "collision",
    "shutdown", "tripped",
}  # fmt: skip
REASONS = {
    "why", "reason", "cause", "end", "ended", "ending", "termination", "terminated", "truncated",
    "truncation", "done", "status", "outcome", "result", "exit", "finish", "finished",
}  # fmt: skip
"""Words for a column that says why an episode ended."""
LIMITS = {
    "timeout", "time", "timed", "limit", "truncated", "truncation", "horizon", "steps", "interrupted", "cut",
    "censored", "stopped",
}  # fmt: skip
ENDED = FAILURES | {
    "fail", "fell", "fall", "fallen", "collided", "expired", "success", "succeeded", "solved", "goal",
    "terminal", "won", "win", "lost", "lose", "trip",
}  # fmt: skip
WORDS: dict[Meaning, set[str]] = {"order": TIME, "reward": GAINS, "action": DECISIONS}
EARLIER = {"prev", "previous", "last", "since", "past", "lag", "lagged", "cumulative", "cum", "next"}
CHOICE = {"id", "item", "arm", "article", "product", "movie", "ad", "offer", "banner", "choice", "category"}
SPENT = {"energy", "power", "fuel", "gas", "electricity", "water", "steam", "electric", "heat"}
USED = {"use", "used", "usage", "consumption", "consumed", "demand"}
# The clearest word for a cost first.
COSTS = ({"cost", "costs"}, {"penalty", "penalties", "fine", "fines"}, {"expense", "expenses", "fee", "fees"},
         {"loss", "losses"}, {"kwh", "mwh"}, {"price", "prices"})  # fmt: skip
OUTCOMES = COSTS[0] | COSTS[1] | COSTS[2]


def plain(name: str) -> str:
    """A name in lower case, with underscores and without its unit: 'Batch No.' is batch_no."""
    bare = re.sub(r"[\[(][^\d\])]*[\])]", "", name).strip(" ._") or name
    split = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", bare.strip())
    return re.sub(r"[\s\-/]+", "_", split).lower()


def words(name: str) -> set[str]:
    """The words in a name, without numbers."""
    return set(re.findall(r"[a-z]+", f"{plain(name)} {name.lower()}"))


def whole(name: str) -> Meaning | None:
    """What the whole name says; None where it says nothing that is known."""
    said = plain(name)
    return next((meaning for meaning, pattern in WHOLE.items() if re.fullmatch(pattern, said)), None)


def hints(name: str, meaning: Meaning) -> bool:
    """Whether one of the words in a name speaks for a meaning, and none for an earlier row or a sensor."""
    found = words(name)
    return bool(found & WORDS[meaning]) and not found & (
        EARLIER | (MEASURED if meaning == "action" else set())
    )


def may_be_temperature(name: str) -> bool:
    """Whether a name that may be that of a time, such as T_s, is as well one of another quantity."""
    return bool(re.fullmatch(f"t{UNIT}", plain(name)))


def is_actuator(name: str) -> bool:
    """Whether a name is one of those of things that are set or switched, now."""
    found = words(name)
    return bool(found & (ACTUATORS | DECISIONS)) and not found & (EARLIER | MEASURED)


def why_ended(value: str) -> Meaning | None:
    """Which flag a text speaks of, where it says why an episode ended; None where it says nothing known."""
    found = words(value)
    return "truncated" if found & LIMITS else "terminated" if found & ENDED else None


def flag(name: str) -> Meaning | None:
    """Which flag of ends a name speaks of, as a whole or by a word for failure; None where of none."""
    said = whole(name)
    if said in ("terminated", "truncated", "done"):
        return said
    return "terminated" if words(name) & FAILURES else None


def is_flag(name: str) -> bool:
    """Whether a name is one of those by which logs of this field flag ends."""
    return bool(re.fullmatch(FLAG, plain(name)))


def cost_rank(name: str) -> int | None:
    """How clearly a name speaks of a cost, 0 the most; None where it does not."""
    found = words(name)
    if found & SPENT and found & USED:
        return len(COSTS)
    return next((rank for rank, said in enumerate(COSTS) if found & said), None)


def is_identifier(name: str) -> bool:
    """Whether a name is that of a number which only tells things apart."""
    return bool(re.fullmatch(rf".*[a-z0-9]{ID}s?", plain(name))) and bool(
        words(name) & {"id", "ids", "index", "number", "no", "nr", "num"}
    )
