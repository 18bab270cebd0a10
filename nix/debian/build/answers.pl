# What packages ask, and whether they were answered that: answers.pl ROOT ANSWERS. Of packages that are not there, nothing is said.
use strict;
use warnings;

my ($root, $answers) = @ARGV;
my $info = "$root/var/lib/dpkg/info";

# Records of lines `Name: value`, but for translations.
sub records {
    my ($path) = @_;
    local $/ = '';
    open my $file, '<', $path or die "$path: $!\n";
    return map { {/^(\w+): (.*)$/mg} } <$file>;
}

my (%asked, %template);
for my $path (glob "$info/*.templates") { $asked{$_->{Template}} = $_ for grep { $_->{Template} } records($path) }
# A question may have the template of another.
for (records("$root/var/cache/debconf/config.dat")) { $template{$_->{Name}} = $_->{Template} if $_->{Name} && $_->{Template} }

# Whether its scripts may ask what is in no file of templates.
sub registers {
    my ($package) = @_;
    local ($/, @ARGV) = (undef, grep { -e } map { ("$info/$package.$_", glob "$info/$package:*.$_") } 'config', 'postinst');
    return @ARGV && grep { /db_register|debconf_register|dbconfig|x_loadtemplate/i } <>;
}

# Why a question is not answered; nothing, if it is.
sub complaint {
    my ($package, $asked, $type, $value) = @_;
    return registers($package) ? undef : "$package asks nothing of that name" if !$asked;
    return "its type is $asked->{Type}, not $type" if $asked->{Type} ne $type;
    return "'$value' is neither true nor false" if $type eq 'boolean' && $value !~ /^(true|false)$/;
    my $choices = $asked->{Choices} // '';
    return if $type ne 'select' || $choices eq '' || $choices =~ /\$\{/;  # what is to be chosen from, is found out later
    return if grep { s/\\,/,/gr eq $value } split /(?<!\\), */, $choices;
    return "'$value' is none of $choices";
}

my $wrong = 0;
open my $file, '<', $answers or die "$answers: $!\n";
while (<$file>) {
    chomp;
    my ($package, $question, $type, $value) = (split(/ /, $_, 4), '');
    next unless grep { -e } "$info/$package.list", glob "$info/$package:*.list";
    my $complaint = complaint($package, $asked{$template{$question} // $question}, $type, $value) // next;
    print STDERR "debconf: $question: $complaint\n";
    $wrong = 1;
}
exit $wrong;
