"""`bighead models rollout`: start a staged roll-out, watch it, stop it."""

import click

from bighead import config
from bighead.client.rollouts import RolloutsClient
from bighead.commands.options import expects, places, say, writes
from bighead.errors import InvalidInput, ModelError
from bighead.events.types import RolloutEnded, RolloutStarted
from bighead.registry.rollout_texts import duration_ms, rule_of, stages_of
from bighead.registry.state import COMPLETED, RolloutEvent


@click.command()
@click.argument("name")
@click.argument("version", type=click.IntRange(1), required=False)
@click.option(
    "--stages", default="1,10,50,100", show_default=True, metavar="PERCENT,...", help="Growing shares of the traffic."
)
@click.option("--hold", default="10m", show_default=True, metavar="TIME", help="Least time at a stage: 30s, 10m, 2h.")
@click.option(
    "--predictions", type=click.IntRange(0), default=100, show_default=True, help="Least predictions at a stage."
)
@click.option("--rule", "rules", multiple=True, metavar="METRIC<=NUMBER", help="What must hold; also METRIC>=NUMBER.")
@click.option("--unit", help="Key or input that decides the arm, such as customer; all keys by default.")
@click.option("--salt", default="", help="Another salt assigns every unit anew.")
@click.option("--wait", is_flag=True, help="Until it has ended, with a line for each stage.")
@click.option("--stop", is_flag=True, help="End the one under way: all traffic goes back to the live version.")
@places
@expects
@writes
@click.pass_context
def rollout(
    context: click.Context,
    name: str,
    version: int | None,
    stages: str,
    hold: str,
    predictions: int,
    rules: tuple[str, ...],
    unit: str | None,
    salt: str,
    wait: bool,
    stop: bool,
    environment: str | None,
    expected: int | None,
    reason: str,
    actor: str | None,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Give a version more and more of the traffic, stage by stage, until it is live; without VERSION the newest.

    A stage passes when its time is over, its predictions were seen and every rule holds. A rule that is broken gives
    all traffic back to the live version. Any other deployment or division of traffic ends the roll-out.

    \b
    Metrics: error_rate, latency_p99_ms, auc, brier, log_loss, coverage, or your own (MetricComputed).
    Examples:
      bighead models rollout delay 3 --rule "error_rate<=0.01" --rule "auc>=0.7" --reason "better AUC" --wait
      bighead models rollout delay 3 --stages 5,50,100 --hold 1h --predictions 1000 --reason "better AUC"
      bighead models rollout delay --stop --reason "complaints"
    """
    client = RolloutsClient(config.load(), actor, environment=environment, timeout_s=timeout_s)
    if stop:
        _check_alone(context)
        ended = client.stop(name, reason, expected_revision=expected)
        _tell(ended, 0, as_json)
        return
    planned = stages_of(stages, duration_ms(hold), predictions)
    kept = [rule_of(rule) for rule in rules]
    started = client.start(name, version, planned, reason, rules=kept, unit=unit, salt=salt, expected_revision=expected)
    if not wait:
        _tell(started, len(planned), as_json)
        return
    for event in client.follow(name, started.rollout_id):
        _tell(event, len(planned), as_json)
        if isinstance(event, RolloutEnded) and event.outcome != COMPLETED:
            raise ModelError(
                f"version {event.version} of {name!r} was not rolled out: {event.outcome}, {event.why}: {event.reason}"
            )


def _check_alone(context: click.Context) -> None:
    given = [
        parameter
        for parameter in ("version", "stages", "hold", "predictions", "rules", "unit", "salt", "wait")
        if context.get_parameter_source(parameter) is click.core.ParameterSource.COMMANDLINE
    ]
    if given:
        raise InvalidInput(f"--stop ends the roll-out under way; leave out {', '.join(given)}")


def _tell(event: RolloutEvent, stages: int, as_json: bool) -> None:
    outcome = {"event": type(event).__name__, **event.to_record()}
    match event:
        case RolloutStarted():
            text = f"stage 1 of {stages}: version {event.version} of {event.model} answers {event.stages[0].percent:g}%"
        case RolloutEnded():
            live = f"version {event.version} of {event.model} is live; " if event.outcome == COMPLETED else ""
            text = f"{event.outcome}: {live}{event.why}; {event.reason}"
        case _:
            text = f"stage {event.stage + 1} of {stages}: it answers {event.percent:g}%; {event.reason}"
    say(outcome, text, as_json)
