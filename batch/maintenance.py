"""Commands of `python -m batch` that keep batch up to date: refresh, snapshots, statistics, compare."""

from collections.abc import Sequence
from dataclasses import asdict

import click

from batch import backfill as backfills
from batch.comparison import Comparison, compare
from batch.refresh import Refreshed, refresh
from batch.snapshots import AS_OF, snapshots_path, write_snapshots
from batch.statistics import Described, publish_statistics, statistics_of
from batch.tables import read_version, table_path, version_of
from batch.work import Work, as_json, progress, show
from bighead.clock import wall_clock_ms
from bighead.commands.text import columns
from bighead.features.catalog import GroupEpoch
from bighead.features.windows import DAY_MS, floor_to

groups_option = click.option(
    "--group", "groups", multiple=True, metavar="NAME", help="Group; may be given several times.  [default: all]"
)


@click.command("refresh")
@groups_option
@click.option("--cut", "cut_ms", type=int, metavar="MS", help="A midnight UTC.  [default: the last one]")
@click.option(
    "--wait", "wait_s", default=60.0, show_default=True, metavar="S", help="Seconds for the stream to follow."
)
@click.option("--compare", "comparing", is_flag=True, help="Then compare epochs that wait with those that answer.")
@as_json
@click.pass_obj
def refresh_command(
    work: Work, groups: tuple[str, ...], cut_ms: int | None, wait_s: float, comparing: bool, as_json: bool
) -> None:
    """Land topics, backfill, publish and move the cut, write snapshots, prune: what has to be done once a day.

    Each step can be run again: after a crash, run the same command.

    Example: python -m batch refresh
    """
    cut_ms = floor_to(wall_clock_ms(), DAY_MS) if cut_ms is None else cut_ms
    backfills.check_cut(cut_ms)
    applied = _chosen(work, groups)
    done = refresh(work.spark, work.settings, work.catalog(), applied, cut_ms, wait_s, progress)
    text = _refreshed(done)
    result = asdict(done)
    if comparing:
        compared = _compared(work, [one.group.name for one in applied])
        result["compared"] = [asdict(one) for one in compared]
        text = "\n".join([text, *map(_comparison, compared)])
    show(result, as_json, text)


@click.command("compare")
@groups_option
@as_json
@click.pass_obj
def compare_command(work: Work, groups: tuple[str, ...], as_json: bool) -> None:
    """Compare what the newest epoch of groups would serve now with what the active one serves, feature by feature.

    Example: python -m batch compare --group carrier_delay
    """
    compared = _compared(work, [one.group.name for one in _chosen(work, groups)])
    show({"compared": [asdict(one) for one in compared]}, as_json, "\n".join(map(_comparison, compared)) or _NOTHING)


@click.command("snapshots")
@groups_option
@click.option("--from", "from_ms", type=int, required=True, metavar="MS", help="The first midnight.")
@click.option("--to", "to_ms", type=int, required=True, metavar="MS", help="The last midnight.")
@as_json
@click.pass_obj
def snapshots_command(work: Work, groups: tuple[str, ...], from_ms: int, to_ms: int, as_json: bool) -> None:
    """Write the features of every entity as of each midnight, to a Delta table a group.

    Example: python -m batch snapshots --group plane --from 1383264000000 --to 1383868800000
    """
    applied = _chosen(work, groups)
    done = [write_snapshots(work.spark, work.settings, one, from_ms, to_ms, progress) for one in applied]
    rows = [(one.group, one.epoch, one.written, one.kept, one.table.table, one.table.version) for one in done]
    text = columns(("group", "epoch", "written", "kept", "table", "version"), rows)
    show({"snapshots": [asdict(one) for one in done]}, as_json, text)


@click.command("statistics")
@click.option("--join", metavar="NAME", help="Of a training set of this Join.")
@click.option("--table", metavar="TABLE", help="The training set.")
@click.option("--time", metavar="COLUMN", help="Its column with each row's time.")
@click.option("--group", metavar="NAME", help="Of the snapshots of this group, instead.")
@as_json
@click.pass_obj
def statistics_command(
    work: Work, join: str | None, table: str | None, time: str | None, group: str | None, as_json: bool
) -> None:
    """Describe the values of each feature day by day, as events: count, nulls, quantiles, most frequent values.

    Example: python -m batch statistics --join flight --table flights/training --time asked_ms
    """
    if (group is None) == (join is None) or (join is not None and (table is None or time is None)):
        raise click.UsageError("give --join NAME --table TABLE --time COLUMN, or --group NAME")
    catalog = work.catalog()
    if group is not None:
        applied = catalog.group(group)
        path, time = snapshots_path(work.settings, applied), AS_OF
        kinds = {feature.name: feature.kind for feature in applied.group.features}
        owners, origin = dict.fromkeys(kinds, group), "snapshot"
    else:
        compiled = catalog.join(join or "")
        path, kinds, origin = table_path(work.settings.lake, table or ""), dict(compiled.kinds), "training_set"
        owners = {column: part.group.name for part in compiled.parts for column in part.columns}
    version = version_of(work.spark, path)
    what = Described(kinds, owners, join or "", origin, path, version)
    events = statistics_of(read_version(work.spark, path, version), time or "", what)
    publish_statistics(work.settings, events)
    rows = [(one.feature, one.from_ms, one.count, one.nulls, one.mean) for one in events]
    text = columns(("feature", "day", "count", "nulls", "mean"), rows)
    show({"table": path, "version": version, "events": [one.to_record() for one in events]}, as_json, text)


COMMANDS = (refresh_command, compare_command, snapshots_command, statistics_command)
_NOTHING = "no epoch waits beside one that answers"


def _chosen(work: Work, groups: Sequence[str]) -> list[GroupEpoch]:
    return backfills.newest_epochs(work.catalog(), list(groups) or None)


def _compared(work: Work, names: Sequence[str]) -> list[Comparison]:
    catalog = work.catalog()
    found = [compare(work.spark, work.settings, catalog, name) for name in names if name in catalog.active]
    return [one for one in found if one is not None]


def _refreshed(done: Refreshed) -> str:
    pruned = {one.group: one for one in done.pruned}
    rows = [
        (
            one.group,
            one.epoch,
            one.days,
            one.kept_days,
            one.tiles,
            pruned[one.group].tiles if one.group in pruned else 0,
        )
        for one in done.groups
    ]
    landed = [f"{one.events} events of {one.topic} landed, {one.refused} refused" for one in done.landed]
    return "\n".join([*landed, columns(("group", "epoch", "filled", "kept", "tiles", "pruned"), rows)])


def _comparison(one: Comparison) -> str:
    rows = [
        (each.feature, each.rows, each.same, each.only_live, each.only_shadow, repr(each.largest))
        for each in one.features
    ]
    lines = [
        f"{one.group}: epoch {one.shadow} beside epoch {one.live}, which answers, as of {one.as_of_ms}",
        columns(("feature", "rows", "same", "only live", "only new", "largest"), rows),
        *(f"new: {name}" for name in one.added),
        *(f"no longer there: {name}" for name in one.removed),
    ]
    return "\n".join(lines)
