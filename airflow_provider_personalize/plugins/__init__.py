"""The page in Airflow's UI that shows a task's batch job, and the first rows that it answered."""
