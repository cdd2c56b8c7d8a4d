module tigertally.example/device

go 1.19
