//! What the server serves, told in the form of descriptors: what tools such as grpcurl ask for that know no `.proto` file.
//!
//! The descriptors are generated with everything else from the `.proto` files. The service has two names, and the same
//! messages under both.

mod descriptors;

use etcdkit_proto::Code;
use etcdkit_proto::grpc_reflection_v1::server_reflection_request::MessageRequest;
use etcdkit_proto::grpc_reflection_v1::server_reflection_response::MessageResponse;
use etcdkit_proto::grpc_reflection_v1::{
    ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse,
    ServerReflectionRequest, ServerReflectionResponse, ServiceResponse,
};

use crate::grpc::{Inbound, Outbound};
use crate::status::Result;
use descriptors::FILES;

/// A `.proto` file.
struct File {
    name: &'static str,
    imports: &'static [&'static str],
    services: &'static [&'static str],
    /// The full names of what it declares, sorted.
    symbols: &'static [&'static str],
    /// An encoded `google.protobuf.FileDescriptorProto`.
    descriptor: &'static [u8],
}

/// Answers one question after the other.
pub(super) async fn info(inbound: &mut Inbound, outbound: &mut Outbound) -> Result<()> {
    while let Some(question) = inbound.next::<ServerReflectionRequest>().await? {
        let answer = question.message_request.as_ref().map_or_else(nothing_asked, answer);
        let response = ServerReflectionResponse {
            valid_host: question.host.clone(),
            original_request: Some(question),
            message_response: Some(answer),
        };
        outbound.send(&response).await?;
    }
    Ok(())
}

fn answer(question: &MessageRequest) -> MessageResponse {
    let found = match question {
        MessageRequest::ListServices(_) => return services(),
        MessageRequest::FileByFilename(name) => {
            FILES.iter().find(|file| file.name == name).map(with_imports)
        }
        MessageRequest::FileContainingSymbol(symbol) => declaring(symbol).map(with_imports),
        // No message of etcd's has extensions.
        MessageRequest::FileContainingExtension(_) => None,
        MessageRequest::AllExtensionNumbersOfType(name) => declaring(name).map(|_| {
            let numbers = ExtensionNumberResponse {
                base_type_name: name.clone(),
                ..ExtensionNumberResponse::default()
            };
            MessageResponse::AllExtensionNumbers(numbers)
        }),
    };
    found.unwrap_or_else(|| error(Code::NotFound, &format!("not found: {question:?}")))
}

fn services() -> MessageResponse {
    let names = FILES.iter().flat_map(|file| file.services);
    let service = names.map(|name| ServiceResponse { name: (*name).to_owned() }).collect();
    MessageResponse::ListServices(ListServiceResponse { service })
}

fn declaring(symbol: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.symbols.binary_search(&symbol).is_ok())
}

/// A file and all that it needs to be understood; itself comes first.
fn with_imports(file: &'static File) -> MessageResponse {
    let mut files = vec![file];
    let mut next = 0;
    while let Some(file) = files.get(next) {
        let imported = FILES.iter().filter(|other| file.imports.contains(&other.name));
        let new: Vec<_> =
            imported.filter(|other| !files.iter().any(|file| file.name == other.name)).collect();
        files.extend(new);
        next += 1;
    }
    let file_descriptor_proto =
        files.iter().map(|file| bytes::Bytes::from_static(file.descriptor)).collect();
    MessageResponse::FileDescriptor(FileDescriptorResponse { file_descriptor_proto })
}

fn nothing_asked() -> MessageResponse {
    error(Code::InvalidArgument, "the question is missing")
}

fn error(code: Code, text: &str) -> MessageResponse {
    let (error_code, error_message) = (code as i32, text.to_owned());
    MessageResponse::Error(ErrorResponse { error_code, error_message })
}
