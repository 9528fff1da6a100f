"""What a team brings along from MLflow: its stores, read as files and tables without MLflow and without its code."""
