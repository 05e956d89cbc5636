# The `proofload` command, built in one image and run in a smaller one, as nobody in particular.
ARG BUILD_IMAGE=rust:1-slim-trixie
ARG RUN_IMAGE=debian:trixie-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY . .
RUN cargo build --profile dist --locked && strip -o /proofload target/dist/proofload

FROM ${RUN_IMAGE}
COPY --from=build /proofload /usr/local/bin/proofload
# For SQLite, where no database is named.
RUN install -d -o 65532 -g 65532 /data
WORKDIR /data
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["proofload"]
CMD ["serve", "--listen", "0.0.0.0:8080"]
