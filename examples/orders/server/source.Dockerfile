# The module from its source, for machines with Docker alone:
#   docker build --platform=wasi/wasm -t orders -f source.Dockerfile .
ARG RUST_IMAGE=rust:1.95.0

# The compiler runs on the machine that builds, whatever the platform of the result.
FROM --platform=$BUILDPLATFORM $RUST_IMAGE AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked

FROM scratch
COPY --from=build /src/target/wasm32-wasip1/release/orders.wasm /orders.wasm
EXPOSE 8080
ENTRYPOINT ["/orders.wasm"]
