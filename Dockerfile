# artatlas in a container: every stage as `artatlas STAGE`, on processors or on an NVIDIA GPU.
#
#     docker build -t artatlas .
#     docker build -t artatlas:cuda --build-arg TENSORFLOW="tensorflow[and-cuda]" .
#
#     docker run --rm -v "$PWD:/work" artatlas run_all --set paths.images=pictures --set paths.metadata=null
#     docker run --rm --gpus all -v "$PWD:/work" artatlas:cuda run_all --set paths.images=pictures
#
# Outputs appear in the mounted folder, as the user that runs the container: add --user "$(id -u):$(id -g)". Weights are
# kept in a volume: add -v artatlas:/cache. tensorflow[and-cuda] brings CUDA itself; the host needs only NVIDIA's driver
# and container toolkit.
FROM python:3.12-slim

# Wheels need the OpenMP runtime, which the slim image leaves out. Debian keeps one version of it, so none is named.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*

ARG TENSORFLOW=tensorflow
WORKDIR /source
COPY requirements.txt pyproject.toml README.md LICENSE ./
# Dependencies first: a change of the code does not install them again.
RUN pip install --no-cache-dir -r requirements.txt "$TENSORFLOW" "pyarrow>=17"
COPY . .
RUN pip install --no-cache-dir . && rm -rf /source

ENV ARTATLAS_CACHE=/cache MPLCONFIGDIR=/cache/matplotlib HOME=/cache
RUN mkdir -p /cache/matplotlib && chmod -R 0777 /cache
VOLUME /cache
WORKDIR /work
ENTRYPOINT ["artatlas"]
CMD ["--help"]
