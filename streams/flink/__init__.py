"""The Flink lane: groups that are applied with engine `flink`, computed on a Flink cluster from the same topics."""
