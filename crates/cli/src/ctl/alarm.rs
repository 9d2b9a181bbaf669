//! `alarm`: list and disarm.

use etcdkit::proto::etcdserverpb::alarm_request::AlarmAction;
use etcdkit::proto::etcdserverpb::{AlarmRequest, AlarmResponse};
use etcdkit::proto::method;

use super::print::fields::alarm_name;
use super::session::Session;
use super::{heading, print};
use crate::command::{Action, Call, Command};
use crate::failure::{Failure, Result};

pub(super) static ALARM: Command = Command {
    usage: "alarm",
    short: "Alarm related commands. Use `etcdctl alarm --help` to see subcommands",
    heading: heading::CLUSTER,
    long: "Alarm related commands",
    commands: &[&ALARM_DISARM, &ALARM_LIST],
    ..Command::BASE
};

static ALARM_DISARM: Command = Command {
    usage: "disarm",
    short: "Disarms all alarms",
    action: Action::Run(alarm_disarm),
    ..Command::BASE
};

static ALARM_LIST: Command = Command {
    usage: "list",
    short: "Lists all alarms",
    action: Action::Run(alarm_list),
    ..Command::BASE
};

fn alarm_list(call: &mut Call<'_>) -> Result<()> {
    if !call.arguments.is_empty() {
        return Err(Failure::bad_arguments("alarm list command accepts no arguments"));
    }
    let session = Session::open(call)?;
    let response = session.call(method::maintenance::ALARM, &AlarmRequest::default())?;
    show(&session, call, &response)
}

/// Disarms each alarm that there is.
fn alarm_disarm(call: &mut Call<'_>) -> Result<()> {
    if !call.arguments.is_empty() {
        return Err(Failure::bad_arguments("alarm disarm command accepts no arguments"));
    }
    let session = Session::open(call)?;
    let raised = session.call(method::maintenance::ALARM, &AlarmRequest::default())?;
    let mut disarmed = AlarmResponse::default();
    for alarm in raised.alarms {
        let mut request =
            AlarmRequest { member_id: alarm.member_id, alarm: alarm.alarm, ..Default::default() };
        request.set_action(AlarmAction::Deactivate);
        let response = session.call(method::maintenance::ALARM, &request)?;
        disarmed.header = response.header;
        disarmed.alarms.extend(response.alarms);
    }
    show(&session, call, &disarmed)
}

fn show(session: &Session, call: &mut Call<'_>, response: &AlarmResponse) -> Result<()> {
    session.display.show(call.console, response, |text| {
        for alarm in &response.alarms {
            let name = alarm_name(alarm.alarm);
            print::line(text, format!("memberID:{} alarm:{name} ", alarm.member_id));
        }
    })
}
