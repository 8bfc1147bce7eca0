# Makes what a story needs in a new Request Tracker, and prints the token.
use strict;
use warnings;
use lib '/usr/share/request-tracker5/lib';
use RT -init;
use RT::AuthToken;
use RT::CustomField;
use RT::Queue;
use RT::User;

sub made {
    my ($what, $id, $message) = @_;
    die "$what: $message\n" unless $id;
}

my $system = RT->SystemUser;
my $queue = RT::Queue->new($system);
made('queue', $queue->Create(Name => 'Laptops'));
my $user = RT::User->new($system);
made('user', $user->Create(Name => 'rollcall', EmailAddress => 'rollcall@school.example', Privileged => 1));
my @rights = qw(SeeQueue ShowTicket ShowTicketComments CreateTicket CommentOnTicket ModifyTicket
    SeeCustomField ModifyCustomField SetInitialCustomField);
for my $right (@rights) {
    made($right, $user->PrincipalObj->GrantRight(Object => $queue, Right => $right));
}
made('ManageAuthTokens', $user->PrincipalObj->GrantRight(Object => $RT::System, Right => 'ManageAuthTokens'));
my $field = RT::CustomField->new($system);
made('field', $field->Create(
    Name => 'Rollcall Key', Type => 'Freeform', MaxValues => 1, LookupType => 'RT::Queue-RT::Ticket'));
made('applied', $field->AddToObject($queue));
my $as = RT::CurrentUser->new;
$as->Load('rollcall');
my ($id, $message, $token) = RT::AuthToken->new($as)->Create(Owner => $user->Id, Description => 'Rollcall');
made('token', $id, $message);
print "$token\n";
