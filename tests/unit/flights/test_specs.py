"""The demo's partitioned model, trained by its specification on some real flights without any feature."""

import json
from dataclasses import replace
from pathlib import Path

from bighead import config
from bighead.client.run_sinks import local_sink
from bighead.pipeline.training_set import TrainingSet
from bighead.training.running import SEGMENTS, Wanted, train
from bighead.training.specification import load_specification
from examples.flights import data
from examples.flights.recipes import AUC, FLIGHTS, schedule_inputs
from examples.flights.training import BY_ORIGIN


def test_each_airport_has_a_model_of_its_own(tmp_path: Path) -> None:
    flights = data.load_flights()
    known = flights[flights.late.notna() & (flights.arrived_ms < data.CUT_MS)].iloc[::30]
    rows = TrainingSet(
        name=FLIGHTS.table,
        rows=known.assign(late=known.late.astype("int64")).reset_index(drop=True),
        inputs=tuple(schedule_inputs()),
        label=FLIGHTS.label,
        time=FLIGHTS.time,
        known=FLIGHTS.known,
        entities=FLIGHTS.entities,
    )
    specification = load_specification(BY_ORIGIN)
    training = specification.training
    assert training.segments is not None
    smaller = replace(
        training,
        data=lambda: rows,
        parameters={**training.parameters, "max_iter": 5},
        segments=replace(training.segments, jobs=1),
    )
    settings = config.load({"BIGHEAD_HOME": str(tmp_path)})
    sink, wanted = local_sink(settings), Wanted(reason="test")

    done = train(replace(specification, training=smaller), settings, sink, wanted, print)

    told = json.loads((Path(done.folder) / SEGMENTS).read_text())
    assert sorted(told["models"]) == ["", "origin=EWR", "origin=JFK", "origin=LGA"]
    assert all(row["metrics"][AUC] > 0.5 and row["all_rows"][AUC] > 0.5 for row in told["grid"]["segments"])
