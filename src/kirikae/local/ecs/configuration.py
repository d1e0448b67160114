"""How a service deploys: what a request says, checked."""

from __future__ import annotations

from kirikae.local.ecs.names import invalid
from kirikae.local.ecs.strategies import ROLLING, strategy_of, wished
from kirikae.local.plain import Plain
from kirikae.local.rows import Breaker, Configuration, Service

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
    strategy = wished(asked, ROLLING if before is None else strategy_of(before))
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
        "_deploys": strategy,
    }


def _of_service(service: Service) -> Configuration:
    """The part of a service's row that says how it deploys."""
    return {
        "minimumHealthyPercent": service["minimumHealthyPercent"],
        "maximumPercent": service["maximumPercent"],
        "deploymentCircuitBreaker": service["deploymentCircuitBreaker"],
    }


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
