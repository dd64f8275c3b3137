//! Stdin and stdout as MCP sees them, with the traps of a session's first moments closed.

use rmcp::{
    RoleServer,
    model::{ClientJsonRpcMessage, ClientRequest, ServerJsonRpcMessage},
    transport::{Transport, async_rw::AsyncRwTransport},
};
use tokio::io::{AsyncRead, AsyncWrite};

/// Longest line taken from a client; longer ones are dropped without holding them in memory.
const LONGEST_LINE: usize = 4 * 1024 * 1024;

/// A line transport that lets nothing but requests through until a session has begun.
///
/// A client whose first probe timed out sends `notifications/cancelled` before anything else, and the protocol
/// library would end the process on it.
pub struct Opening<R: AsyncRead, W: AsyncWrite> {
    lines: AsyncRwTransport<RoleServer, R, W>,
    begun: bool,
}

impl<R, W> Opening<R, W>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    pub fn new(input: R, output: W) -> Self {
        Self {
            lines: AsyncRwTransport::new_server(input, output).with_max_line_length(LONGEST_LINE),
            begun: false,
        }
    }
}

impl<R, W> Transport<RoleServer> for Opening<R, W>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    type Error = std::io::Error;

    fn send(
        &mut self,
        message: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.lines.send(message)
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        loop {
            let message = self.lines.receive().await?;
            if self.begun {
                return Some(message);
            }
            if let ClientJsonRpcMessage::Request(request) = &message {
                // A discover or ping leaves open which kind of session this becomes.
                self.begun = !matches!(
                    request.request,
                    ClientRequest::DiscoverRequest(_) | ClientRequest::PingRequest(_)
                ) && (matches!(request.request, ClientRequest::InitializeRequest(_))
                    || has_version(&request.request));
                return Some(message);
            }
            tracing::debug!("a message before the first request is ignored");
        }
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.lines.close().await
    }
}

/// Whether the request says its protocol version, as requests without a handshake must.
fn has_version(request: &ClientRequest) -> bool {
    use rmcp::model::GetMeta;
    request.get_meta().protocol_version().is_some()
}
