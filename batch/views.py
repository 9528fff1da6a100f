"""Names for the steps of one group's query, as SQL texts refer to them. Knows Spark."""

from pyspark.sql import DataFrame, SparkSession


class Views:
    """Temporary views of one group."""

    def __init__(self, spark: SparkSession, group: str) -> None:
        self._spark = spark
        self._group = group

    def __call__(self, step: DataFrame | str, name: str) -> str:
        """The name under which texts find this step."""
        frame = self._spark.sql(step) if isinstance(step, str) else step
        view = f"__{self._group}_{name.lower()}"
        frame.createOrReplaceTempView(view)
        return view
