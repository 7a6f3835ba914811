# One image for Airflow's services and for the local backend: the versions of constraints.txt, which the tests ran with.
FROM python:3.12.12-slim-bookworm AS wheels
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
# LightFM would otherwise be compiled for this machine's processor alone (-march=native), and the image moves.
ENV LIGHTFM_NO_CFLAGS=1
WORKDIR /source
COPY pyproject.toml setup.py constraints.txt README.md LICENSE ./
COPY airflow_provider_personalize airflow_provider_personalize
RUN pip wheel --no-cache-dir --wheel-dir /wheels -c constraints.txt ".[local,parquet,postgres,s3]"

FROM python:3.12.12-slim-bookworm
# LightFM's compiled part runs on OpenMP.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libgomp1 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 50000 --gid 0 --create-home --home-dir /opt/airflow airflow \
 && install -d -o airflow -g 0 /opt/airflow/logs /opt/airflow/dags /data
RUN --mount=type=bind,from=wheels,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels "airflow-provider-personalize[local,parquet,postgres,s3]" \
 && python -c "from airflow_provider_personalize.local.scoring.kernel import available; assert available(), 'no compiled kernel'"
ENV AIRFLOW_HOME=/opt/airflow PYTHONUNBUFFERED=1
USER airflow
WORKDIR /opt/airflow
COPY dags dags
EXPOSE 8080 8765
CMD ["personalize-local", "serve", "--root", "/data", "--host", "0.0.0.0"]
