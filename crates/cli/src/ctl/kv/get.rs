//! `get`

use etcdkit::proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use etcdkit::proto::etcdserverpb::{RangeRequest, RangeResponse};
use etcdkit::proto::method;
use etcdkit::{Get, GetStream};

use super::Keys;
use crate::command::{Action, Call, Command, Flag, Values};
use crate::ctl::print::{self, Format};
use crate::ctl::session::Session;
use crate::ctl::{heading, refusal};
use crate::failure::{Failure, Result, exit};

pub(in crate::ctl) static GET: Command = Command {
    usage: "get [options] <key> [range_end]",
    short: "Gets the key or a range of keys",
    heading: heading::KEY_VALUE,
    flags: &[
        Flag::text("consistency", "l", "Linearizable(l) or Serializable(s)"),
        Flag::bool("count-only", "Get only the count"),
        Flag::bool(
            "from-key",
            "Get keys that are greater than or equal to the given key using byte compare",
        ),
        Flag::bool("keys-only", "Get only the keys"),
        Flag::int("limit", "0", "Maximum number of results"),
        Flag::int("max-create-rev", "0", "Maximum create revision"),
        Flag::int("max-mod-rev", "0", "Maximum modification revision"),
        Flag::int("min-create-rev", "0", "Minimum create revision"),
        Flag::int("min-mod-rev", "0", "Minimum modification revision"),
        Flag::text("order", "", "Order of results; ASCEND or DESCEND (ASCEND by default)"),
        Flag::bool("prefix", "Get keys with matching prefix"),
        Flag::bool(
            "print-value-only",
            r#"Only write values when using the "simple" output format"#,
        ),
        Flag::int("rev", "0", "Specify the kv revision"),
        Flag::text("sort-by", "", "Sort target; CREATE, KEY, MODIFY, VALUE, or VERSION"),
        Flag::bool("stream", "Use the RangeStream RPC"),
    ],
    action: Action::Run(get),
    ..Command::BASE
};

fn get(call: &mut Call<'_>) -> Result<()> {
    let request = request(&call.flags, &call.arguments)?;
    let session = Session::open(call)?;
    let display = session.display;
    let response = if call.flags.bool("stream") {
        stream(&session, request)?
    } else {
        session.call(method::kv::RANGE, &request)?
    };
    let value_only = call.flags.bool("print-value-only");
    if value_only && display.format != Format::Simple {
        return Err(Failure::bad_arguments("print-value-only is only for `--write-out=simple`"));
    }
    if call.flags.bool("count-only") && display.format != Format::Fields {
        return Err(Failure::bad_arguments("--count-only is only for `--write-out=fields`"));
    }
    display.show(call.console, &response, |text| {
        for kv in &response.kvs {
            if !value_only {
                print::bytes_line(text, display.hex, &kv.key);
            }
            print::bytes_line(text, display.hex, &kv.value);
        }
    })
}

/// The request that a command line means.
pub(super) fn request(flags: &Values, arguments: &[Vec<u8>]) -> Result<RangeRequest> {
    let keys = Keys::read("get", flags, arguments)?;
    let (keys_only, count_only) = (flags.bool("keys-only"), flags.bool("count-only"));
    if keys_only && count_only {
        return Err(Failure::bad_arguments(
            "`--keys-only` and `--count-only` cannot be set at the same time, choose one",
        ));
    }
    let mut request = RangeRequest {
        key: keys.key,
        range_end: keys.range_end,
        limit: flags.int("limit"),
        revision: flags.int("rev"),
        serializable: consistency_is_serializable(flags)?,
        keys_only,
        count_only,
        min_create_revision: flags.int("min-create-rev"),
        max_create_revision: flags.int("max-create-rev"),
        min_mod_revision: flags.int("min-mod-rev"),
        max_mod_revision: flags.int("max-mod-rev"),
        ..RangeRequest::default()
    };
    set_order(&mut request, &flags.text("order"), &flags.text("sort-by"))?;
    for (what, min, max) in [
        ("CreateRev", request.min_create_revision, request.max_create_revision),
        ("ModRev", request.min_mod_revision, request.max_mod_revision),
    ] {
        if min > max && max != 0 {
            return Err(Failure::new(
                exit::BAD_FEATURE,
                format!("getMin{what}(={min}) > getMax{what}(={max})"),
            ));
        }
    }
    Ok(request)
}

/// Whether `--consistency` allows answers that may be old.
pub(in crate::ctl) fn consistency_is_serializable(flags: &Values) -> Result<bool> {
    match flags.text("consistency").as_str() {
        "s" => Ok(true),
        "l" => Ok(false),
        other => {
            Err(Failure::new(exit::BAD_FEATURE, format!("unknown consistency flag \"{other}\"")))
        }
    }
}

fn set_order(request: &mut RangeRequest, order: &str, target: &str) -> Result<()> {
    let bad = |what: &str, given: &str| {
        Failure::new(exit::BAD_FEATURE, format!("bad sort {what} {given}"))
    };
    let order = match order.to_uppercase().as_str() {
        "" => SortOrder::None,
        "ASCEND" => SortOrder::Ascend,
        "DESCEND" => SortOrder::Descend,
        _ => return Err(bad("order", order)),
    };
    let target_given = !target.is_empty();
    let target = match target.to_uppercase().as_str() {
        "" | "KEY" => SortTarget::Key,
        "CREATE" => SortTarget::Create,
        "MODIFY" => SortTarget::Mod,
        "VALUE" => SortTarget::Value,
        "VERSION" => SortTarget::Version,
        _ => return Err(bad("target", target)),
    };
    // Ascending keys are what the server answers with anyway.
    let order = match order {
        SortOrder::None if target_given && target != SortTarget::Key => SortOrder::Ascend,
        SortOrder::Ascend if target == SortTarget::Key => SortOrder::None,
        order => order,
    };
    request.set_sort_order(order);
    request.set_sort_target(target);
    Ok(())
}

/// The same answer, read in pieces.
fn stream(session: &Session, request: RangeRequest) -> Result<RangeResponse> {
    let read = async {
        let mut pieces = session.client.open(GetStream::from(Get::from(request))).await?;
        let mut whole: Option<etcdkit::GetResponse> = None;
        while let Some(piece) = pieces.next().await {
            match &mut whole {
                Some(whole) => whole.append(piece?),
                None => whole = Some(piece?),
            }
        }
        Ok(whole.unwrap_or_default())
    };
    let whole: etcdkit::Result<etcdkit::GetResponse> = session
        .block_on(async { tokio::time::timeout(session.timeout(), read).await })
        .map_err(|_| Failure::error("context deadline exceeded"))?;
    let whole = whole.map_err(|error| refusal::failure(&error))?;
    Ok(RangeResponse {
        header: Some(print::wire_header(whole.header())),
        more: whole.more(),
        count: i64::try_from(whole.count()).unwrap_or(i64::MAX),
        kvs: whole.into_kvs().into_iter().map(Into::into).collect(),
    })
}
