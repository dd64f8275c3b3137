# sf-mcp for clients that start containers: `docker run -i --rm -e SF_MCP_CLIENT_ID -e SF_MCP_CLIENT_SECRET sf-mcp`.
#   docker build -f packaging/docker/sf-mcp.Dockerfile -t sf-mcp .
FROM rust:1.95-slim-bookworm AS build
WORKDIR /source
COPY . .
RUN cargo build --release --locked --bin sf-mcp

FROM gcr.io/distroless/cc-debian12:nonroot
LABEL io.modelcontextprotocol.server.name="io.github.OWNER/sf-mcp"
COPY --from=build /source/target/release/sf-mcp /usr/bin/
ENTRYPOINT ["/usr/bin/sf-mcp"]
CMD ["serve"]
