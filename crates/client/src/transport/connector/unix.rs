//! Unix-domain sockets.

use std::io;
use std::path::Path;

use tokio::net::UnixStream;

use crate::error::Cause;

pub(super) async fn connect(path: &Path) -> Result<UnixStream, Cause> {
    UnixStream::connect(path).await.map_err(|error| {
        let shown = path.display();
        Cause::Connect(match error.kind() {
            io::ErrorKind::NotFound if path.is_relative() => {
                let here = std::env::current_dir().unwrap_or_default();
                format!(
                    "no socket {shown} in {} (an absolute path is written unix:///path)",
                    here.display()
                )
            }
            io::ErrorKind::NotFound => format!("no socket {shown}"),
            io::ErrorKind::ConnectionRefused => format!("nothing listens on the socket {shown}"),
            _ => format!("socket {shown}: {error}"),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn errors_name_the_socket_and_what_is_wrong_with_it() {
        let path = std::env::temp_dir().join(format!("etcdkit-unix-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let cause = connect(&path).await.unwrap_err();
        assert_eq!(cause, Cause::Connect(format!("no socket {}", path.display())));
        let cause = connect(Path::new("no-such-socket")).await.unwrap_err();
        assert!(cause.to_string().contains("unix:///path"), "{cause}");

        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let cause = connect(&path).await.unwrap_err();
        assert_eq!(
            cause,
            Cause::Connect(format!("nothing listens on the socket {}", path.display()))
        );

        let _listener = {
            std::fs::remove_file(&path).unwrap();
            std::os::unix::net::UnixListener::bind(&path).unwrap()
        };
        assert!(connect(&path).await.is_ok());
        std::fs::remove_file(&path).unwrap();
    }
}
