# sf-supervisor with the sf-mcp it starts, for a service of any number of replicas:
#   docker build -f packaging/docker/sf-supervisor.Dockerfile -t sf-supervisor .
FROM rust:1.95-slim-bookworm AS build
WORKDIR /source
COPY . .
RUN cargo build --release --locked --workspace --bins

# glibc, certificates and time zones, no shell; uid 65532.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /source/target/release/sf-supervisor /source/target/release/sf-mcp /usr/bin/
ENV SF_SUPERVISOR_LISTEN=0.0.0.0:8080
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/sf-supervisor"]
CMD ["serve"]
