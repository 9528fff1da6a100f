"""serving: the model server (gRPC and REST over one predictor) and the web console."""
