"""How a service deploys: what a request says, checked."""

from __future__ import annotations

from kirikae.local.ecs.names import invalid, unsupported
from kirikae.local.plain import Plain
from kirikae.local.rows import Breaker, Configuration, Service

_LATER = (
    "earlySuccessCriteria",
    "lifecycleHooks",
    "linearConfiguration",
    "canaryConfiguration",
    "bakeTimeInMinutes",
)
_DEFAULT: Configuration = {
    "minimumHealthyPercent": 100,
    "maximumPercent": 200,
    "deploymentCircuitBreaker": {
        "enable": False,
        "rollback": False,
    },
}


def configuration_of(asked: Plain, before: Service | None) -> Configuration:
    """What is asked over what was so before.  Raises AwsError for what is not carried out, and for
    percentages that AWS refuses."""
    _check_carried_out(asked)
    former: Configuration = _DEFAULT if before is None else _of_service(before)
    minimum: int = asked.get("minimumHealthyPercent", former["minimumHealthyPercent"])
    maximum: int = asked.get("maximumPercent", former["maximumPercent"])
    breaker: Breaker = asked.get("deploymentCircuitBreaker", former["deploymentCircuitBreaker"])
    threshold = breaker.get("thresholdConfiguration", {})
    if threshold.get("value", 1) < 1:
        raise invalid("deploymentCircuitBreaker: a threshold of at least 1 is needed")
    _check_percentages(minimum, maximum)
    return {
        "minimumHealthyPercent": minimum,
        "maximumPercent": maximum,
        "deploymentCircuitBreaker": breaker,
    }


def _of_service(service: Service) -> Configuration:
    """The part of a service's row that says how it deploys."""
    return {
        "minimumHealthyPercent": service["minimumHealthyPercent"],
        "maximumPercent": service["maximumPercent"],
        "deploymentCircuitBreaker": service["deploymentCircuitBreaker"],
    }


def _check_carried_out(asked: Plain) -> None:
    """Raise AwsError for whatever of a deployment would silently not happen here: other strategies
    than ROLLING, hooks, bake times, alarms."""
    if asked.get("strategy", "ROLLING") != "ROLLING":
        raise unsupported(f"kirikae local does not carry out the strategy {asked['strategy']} yet")
    for key in _LATER:
        if asked.get(key):
            raise unsupported(f"kirikae local does not carry out {key} of a deployment yet")
    if asked.get("alarms", {}).get("enable"):
        raise unsupported("kirikae local does not carry out deployment alarms yet")


def _check_percentages(minimum: int, maximum: int) -> None:
    """Raise AwsError for percentages that AWS refuses, and for those under which no task could ever
    be exchanged."""
    if not 0 <= minimum <= 100 or maximum < 100:
        raise invalid(
            f"minimumHealthyPercent {minimum}: 0 to 100; maximumPercent {maximum}: 100 or more."
        )
    if minimum == maximum == 100:
        raise invalid(
            "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will "
            "block deployments."
        )
