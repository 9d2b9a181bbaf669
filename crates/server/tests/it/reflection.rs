//! What the server tells of itself, in the questions that grpcurl asks.
#![cfg(test)]

use std::collections::BTreeSet;

use bytes::Bytes;
use etcdkit_proto::grpc_reflection_v1::server_reflection_request::MessageRequest;
use etcdkit_proto::grpc_reflection_v1::server_reflection_response::MessageResponse;
use etcdkit_proto::grpc_reflection_v1::{
    ExtensionRequest, ServerReflectionRequest, ServerReflectionResponse,
};
use etcdkit_proto::method;
use etcdkit_server::Server;
use prost::Message;

use crate::peer::{Messages, Peer, framed};

/// The answers to questions on one stream.
async fn answers(path: &str, questions: &[MessageRequest]) -> Vec<MessageResponse> {
    let server = Server::start_ephemeral().await.unwrap();
    let peer = Peer::over(server.connect()).await;
    let (mut requests, response) = peer.open(path).await;
    for question in questions {
        let request = ServerReflectionRequest {
            host: "here".to_owned(),
            message_request: Some(question.clone()),
        };
        requests.send_data(framed(&request.encode_to_vec()), false).unwrap();
    }
    requests.send_data(Bytes::new(), true).unwrap();
    let mut messages = Messages::new(response.await.unwrap().into_body());
    let mut answers = Vec::new();
    while let Some(message) = messages.next().await.unwrap() {
        let response = ServerReflectionResponse::decode(message).unwrap();
        assert_eq!(response.valid_host, "here");
        let question = response.original_request.unwrap().message_request;
        assert_eq!(question.as_ref(), questions.get(answers.len()));
        answers.push(response.message_response.unwrap());
    }
    assert_eq!(answers.len(), questions.len());
    answers
}

fn symbol(name: &str) -> MessageRequest {
    MessageRequest::FileContainingSymbol(name.to_owned())
}

#[tokio::test]
async fn every_service_and_method_can_be_found_under_both_names_of_the_service() {
    let served: BTreeSet<&str> = method::ALL.iter().map(|info| info.service).collect();
    for path in [method::reflection::INFO.path(), method::reflection_v1alpha::INFO.path()] {
        let list = MessageRequest::ListServices(String::new());
        let MessageResponse::ListServices(list) = answers(path, &[list]).await.remove(0) else {
            panic!("no list");
        };
        let listed: BTreeSet<&str> = list.service.iter().map(|item| item.name.as_str()).collect();
        assert_eq!(listed, served);

        let methods =
            method::ALL.iter().map(|info| symbol(&format!("{}.{}", info.service, info.name)));
        for (answer, info) in
            answers(path, &methods.collect::<Vec<_>>()).await.iter().zip(method::ALL)
        {
            let MessageResponse::FileDescriptor(files) = answer else {
                panic!("{}: {answer:?}", info.path)
            };
            let name = info.service.rsplit('.').next().unwrap();
            let file = &files.file_descriptor_proto[0];
            for part in [name, info.name] {
                let found = file.windows(part.len()).any(|window| window == part.as_bytes());
                assert!(found, "{part} in the file of {}", info.path);
            }
        }
    }
}

#[tokio::test]
async fn a_file_comes_with_what_it_imports() {
    let questions = [
        MessageRequest::FileByFilename("lock.proto".to_owned()),
        symbol("mvccpb.KeyValue"),
        symbol("etcdserverpb.RangeRequest.SortOrder"),
    ];
    for (answer, expected) in
        answers(method::reflection::INFO.path(), &questions).await.iter().zip([
            &["lock.proto", "rpc.proto", "auth.proto", "kv.proto"][..],
            &["kv.proto"],
            &["rpc.proto", "auth.proto", "kv.proto"],
        ])
    {
        let MessageResponse::FileDescriptor(files) = answer else { panic!("{answer:?}") };
        // The first field of a file is its name.
        let names: Vec<_> = files
            .file_descriptor_proto
            .iter()
            .map(|file| String::from_utf8_lossy(&file[2..2 + usize::from(file[1])]))
            .collect();
        assert_eq!(names, expected);
    }
}

#[tokio::test]
async fn what_is_not_there_is_told_and_the_stream_goes_on() {
    let questions = [
        symbol("etcdserverpb.Nothing"),
        MessageRequest::FileByFilename("nothing.proto".to_owned()),
        MessageRequest::AllExtensionNumbersOfType("nothing".to_owned()),
        MessageRequest::FileContainingExtension(ExtensionRequest::default()),
        MessageRequest::AllExtensionNumbersOfType("mvccpb.KeyValue".to_owned()),
    ];
    let answers = answers(method::reflection::INFO.path(), &questions).await;
    let (last, refused) = answers.split_last().unwrap();
    for answer in refused {
        let MessageResponse::Error(error) = answer else { panic!("{answer:?}") };
        assert_eq!(error.error_code, 5);
    }
    let MessageResponse::AllExtensionNumbers(numbers) = last else { panic!("{last:?}") };
    assert!(numbers.extension_number.is_empty() && numbers.base_type_name == "mvccpb.KeyValue");
}
