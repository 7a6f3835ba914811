-- The local backend's store lies beside Airflow's metadata, in a database of its own.
CREATE DATABASE personalize;
