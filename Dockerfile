# The tap alone; a target runs in a container of its own, or beside it. See docs/nightly.md.
FROM python:3.13 AS build
COPY . /source
RUN pip wheel --no-deps --wheel-dir=/wheels /source

FROM python:3.13-slim
COPY --from=build /wheels /wheels
COPY constraints.txt /wheels/
RUN pip install --no-cache-dir --constraint=/wheels/constraints.txt /wheels/*.whl && useradd --create-home tap
USER tap
WORKDIR /home/tap
ENTRYPOINT ["tap-kissmetrics"]
