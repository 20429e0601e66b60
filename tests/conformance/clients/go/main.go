// Two bots on the Go SDK: every function of its realtime part, then a cut without a new login.
//
//	go-client BASE_URL SUFFIX
//
// Prints a line per step, "KILL STREAMERS" when the streamers are to be killed (and reads a line
// when that is done), and "done" at the end. Any failure ends it with status 1.
package main

import (
	"bufio"
	"fmt"
	"log"
	"net/url"
	"os"
	"time"

	"github.com/RocketChat/Rocket.Chat.Go.SDK/models"
	"github.com/RocketChat/Rocket.Chat.Go.SDK/realtime"
)

const password = "a long enough password"

func must(what string, err error) {
	if err != nil {
		fmt.Printf("FAIL  %s: %v\n", what, err)
		os.Exit(1)
	}
	fmt.Printf("ok    %s\n", what)
}

func check(what string, holds bool) {
	if !holds {
		must(what, fmt.Errorf("it is not so"))
	}
	fmt.Printf("ok    %s\n", what)
}

func newBot(address *url.URL, name string) (*realtime.Client, *models.User) {
	client, err := realtime.NewClient(address, false)
	must("connect "+name, err)
	credentials := &models.UserCredentials{
		Name: name, Email: name + "@example.org", Password: password,
	}
	user, err := client.RegisterUser(credentials)
	must("register "+name, err)
	check("an id, a token and its end", user.ID != "" && user.Token != "" && user.TokenExpires > 0)
	again, err := client.Login(&models.UserCredentials{Token: user.Token})
	must("login by token", err)
	check("the same user and token", again.ID == user.ID && again.Token == user.Token)
	return client, user
}

// await reads messages until one has this text.
func await(what string, messages chan models.Message, text string, limit time.Duration) models.Message {
	end := time.After(limit)
	for {
		select {
		case message := <-messages:
			if message.Msg == text {
				fmt.Printf("ok    %s\n", what)
				return message
			}
		case <-end:
			must(what, fmt.Errorf("not within %v", limit))
		}
	}
}

func main() {
	log.SetFlags(0)
	log.SetOutput(os.Stderr)
	address, err := url.Parse(os.Args[1])
	must("address", err)
	suffix := os.Args[2]
	anaName, boName := "ana-go-"+suffix, "bo-go-"+suffix
	ana, anaUser := newBot(address, anaName)
	bo, _ := newBot(address, boName)

	heard := make(chan models.Message, 1000)
	must("SubscribeToMyMessages", ana.SubscribeToMyMessages(heard))

	must("CreateChannel", bo.CreateChannel("open-"+suffix, []string{anaName}))
	must("CreateGroup", bo.CreateGroup("closed-"+suffix, []string{anaName}))
	openID, err := bo.GetChannelId("open-" + suffix)
	must("GetChannelId", err)
	channel := &models.Channel{ID: openID}
	must("LeaveChannel", ana.LeaveChannel(openID))
	must("JoinChannel", ana.JoinChannel(openID))

	sent, err := bo.SendMessage(bo.NewMessage(channel, "hello"))
	must("SendMessage", err)
	check("the answer is the message", sent.Msg == "hello" && sent.RoomID == openID && sent.Timestamp != nil)
	message := await("a message of mine", heard, "hello", 10*time.Second)
	check("with its author", message.User.UserName == boName && message.ID == sent.ID)

	// The SDK puts dates into what it sends as texts; only what it was given goes back.
	edit := &models.Message{ID: sent.ID, RoomID: openID, Msg: "edited"}
	must("EditMessage", bo.EditMessage(edit))
	await("the edit", heard, "edited", 10*time.Second)
	must("ReactToMessage", ana.ReactToMessage(sent, ":+1:"))
	must("StarMessage", ana.StarMessage(sent))
	must("UnStarMessage", ana.UnStarMessage(sent))
	must("PinMessage", bo.PinMessage(edit))
	must("UnPinMessage", bo.UnPinMessage(edit))
	history, err := ana.LoadHistory(openID)
	must("LoadHistory", err)
	check("a history", len(history) > 0)

	must("StartTyping", ana.StartTyping(openID, anaName))
	must("StopTyping", ana.StopTyping(openID, anaName))
	must("GetChannelRoles", bo.GetChannelRoles(openID))
	must("SetChannelTopic", bo.SetChannelTopic(openID, "a topic"))
	must("SetChannelDescription", bo.SetChannelDescription(openID, "a description"))
	must("SetChannelReadOnly", bo.SetChannelReadOnly(openID, true))
	must("SetChannelReadOnly", bo.SetChannelReadOnly(openID, false))
	must("SetChannelJoinCode", bo.SetChannelJoinCode(openID, "code"))
	must("SetChannelType", bo.SetChannelType(openID, "p"))
	must("ArchiveChannel", bo.ArchiveChannel(openID))
	if err := bo.UnArchiveChannel(openID); err == nil || err.Error() == "" {
		must("UnArchiveChannel is for administrators", fmt.Errorf("it was allowed"))
	}

	rooms, err := ana.GetChannelsIn()
	must("GetChannelsIn", err)
	check("rooms", len(rooms) >= 2)
	subscriptions, err := ana.GetChannelSubscriptions()
	must("GetChannelSubscriptions", err)
	check("subscriptions of mine", len(subscriptions) >= 2 && subscriptions[0].User.ID == anaUser.ID)
	permissions, err := ana.GetPermissions()
	must("GetPermissions", err)
	check("permissions", len(permissions) > 50)
	settings, err := ana.GetPublicSettings()
	must("GetPublicSettings", err)
	check("settings", len(settings) > 20)
	must("GetUserRoles", ana.GetUserRoles())
	must("SetPresence", ana.SetPresence("busy"))
	must("ConnectionAway", ana.ConnectionAway())
	must("ConnectionOnline", ana.ConnectionOnline())
	_, err = ana.Sub("stream-notify-logged", "updateAvatar")
	must("Sub", err)

	closedID, err := bo.GetChannelId("closed-" + suffix)
	must("GetChannelId of the group", err)
	fmt.Println("KILL STREAMERS")
	bufio.NewReader(os.Stdin).ReadString('\n')

	// No login: the session that the SDK offers says who it is.
	group := &models.Channel{ID: closedID}
	end := time.Now().Add(60 * time.Second)
	for {
		_, err = bo.SendMessage(bo.NewMessage(group, "back again"))
		if err == nil || time.Now().After(end) {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	must("SendMessage after the cut", err)
	for {
		_, err = bo.SendMessage(bo.NewMessage(group, "and now"))
		must("SendMessage once more", err)
		select {
		case message := <-heard:
			if message.Msg == "and now" {
				fmt.Println("ok    the other bot hears again")
				must("DeleteMessage", bo.DeleteMessage(&message))
				must("DeleteChannel", bo.DeleteChannel(closedID))
				ana.Close()
				bo.Close()
				fmt.Println("done")
				return
			}
		case <-time.After(time.Second):
			if time.Now().After(end) {
				must("the other bot hears again", fmt.Errorf("not within a minute"))
			}
		}
	}
}
